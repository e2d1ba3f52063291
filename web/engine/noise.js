// The noise of a seed: standard normal numbers as torch's CPU generator draws them.
//
// Mersenne twister, 24-bit uniforms and Box-Muller in blocks of 16, as in ATen's CPUGeneratorImpl,
// MT19937RNGEngine.h and native/cpu/DistributionTemplates.h (normal_fill). torch computes in float32, here it is
// float64, rounded once: they differ by less than 1e-5. Knows nothing of models.

const N = 624; // words of the twister's state
const M = 397;

// The 32-bit numbers of Matsumoto and Nishimura's MT19937 (1998), seeded by the low 32 bits of a seed.
function twister(seed) {
  const state = new Uint32Array(N);
  state[0] = Number(BigInt.asUintN(32, BigInt(seed)));
  for (let at = 1; at < N; at++) {
    const last = state[at - 1] ^ (state[at - 1] >>> 30);
    state[at] = Math.imul(1812433253, last) + at;
  }
  const twist = () => {
    for (let at = 0; at < N; at++) {
      const both = (state[at] & 0x80000000) | (state[(at + 1) % N] & 0x7fffffff);
      state[at] = state[(at + M) % N] ^ (both >>> 1) ^ (both & 1 ? 0x9908b0df : 0);
    }
  };
  let next = N;
  return () => {
    if (next === N) {
      twist();
      next = 0;
    }
    let word = state[next++];
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  };
}

// Box and Muller's (1958) transform of two uniform numbers, `radial` in (0, 1].
function pair(radial, angular) {
  const radius = Math.sqrt(-2 * Math.log(radial));
  return [radius * Math.cos(2 * Math.PI * angular), radius * Math.sin(2 * Math.PI * angular)];
}

// `count` numbers, as torch.randn gives them for torch.Generator("cpu").manual_seed(seed). seed: a whole number
// from 0 to 2**63 - 1, as a BigInt, a number or in decimal digits.
export function noise(seed, count) {
  const random = twister(seed);
  return count < 16 ? few(random, count) : many(random, count);
}

function many(random, count) {
  const out = new Float32Array(count);
  const uniform = (from, to) => {
    for (let at = from; at < to; at++) out[at] = (random() & 0xffffff) / 2 ** 24;
  };
  const transform = (block) => {
    for (let at = block; at < block + 8; at++) [out[at], out[at + 8]] = pair(1 - out[at], out[at + 8]);
  };
  uniform(0, count);
  for (let block = 0; block + 16 <= count; block += 16) transform(block);
  if (count % 16) {
    uniform(count - 16, count); // the last 16 anew
    transform(count - 16);
  }
  return out;
}

// Fewer than 16 are drawn one by one, from 53-bit uniforms.
function few(random, count) {
  const uniform = () => {
    const high = random() & 0x1fffff;
    return (high * 2 ** 32 + random()) / 2 ** 53;
  };
  const out = new Float32Array(count);
  for (let at = 0; at < count; at += 2) {
    const angular = uniform();
    const [first, second] = pair(1 - uniform(), angular);
    out[at] = first;
    if (at + 1 < count) out[at + 1] = second;
  }
  return out;
}
