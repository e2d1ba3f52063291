"""A JPEG without what it says of itself, in Python and in a browser: its picture alone."""

SAID = {0xE1, 0xEB}  # the segments of EXIF and XMP, and those of C2PA


def bare(file: bytes) -> bytes:
    """The bytes of a JPEG that says nothing of how it was made."""
    kept, place = file[:2], 2
    while file[place] == 0xFF and file[place + 1] != 0xDA:  # the picture's own data begin
        end = place + 2 + int.from_bytes(file[place + 2 : place + 4], "big")
        if file[place + 1] not in SAID:
            kept += file[place:end]
        place = end
    return kept + file[place:]


# `bare(address)` of a data URL; of what is no JPEG, the address itself.
SCRIPT = """
window.bare = (address) => {
  const head = "data:image/jpeg;base64,";
  if (!address.startsWith(head)) return address;
  const file = atob(address.slice(head.length));
  const byte = (place) => file.charCodeAt(place);
  let kept = file.slice(0, 2), place = 2;
  while (byte(place) === 0xff && byte(place + 1) !== 0xda) {
    const end = place + 2 + byte(place + 2) * 256 + byte(place + 3);
    if (![0xe1, 0xeb].includes(byte(place + 1))) kept += file.slice(place, end);
    place = end;
  }
  return head + btoa(kept + file.slice(place));
};
"""
