"""The look of Gradio's own elements: plain names for its theme, see `ui.Page`; ours is page.css.

Calm colours, and fonts that the visitor's machine has: nothing is fetched.
"""

from typing import Any

BASE: dict[str, Any] = {
    "primary_hue": "teal",
    "neutral_hue": "stone",
    "radius_size": "lg",
    "font": ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
    "font_mono": ("ui-monospace", "Menlo", "Consolas", "monospace"),
}

BY_DAY_AND_NIGHT = {  # name -> (light, dark)
    "body_text_color_subdued": ("*neutral_500", "*neutral_400"),
    "body_background_fill": ("*neutral_50", "*neutral_950"),
    "background_fill_primary": ("white", "*neutral_900"),
    "background_fill_secondary": ("*neutral_100", "*neutral_800"),
    "block_background_fill": ("transparent", "transparent"),
    "block_border_width": ("0px", "0px"),
    "input_background_fill": ("white", "*neutral_900"),
    "input_border_width": ("1px", "1px"),
    "input_border_color": ("*neutral_200", "*neutral_700"),
    "input_border_color_focus": ("*primary_500", "*primary_500"),
    "button_secondary_background_fill": ("white", "*neutral_900"),
    "button_secondary_border_color": ("*neutral_200", "*neutral_700"),
    "button_border_width": ("1px", "1px"),
}
ALWAYS = {
    "block_padding": "0px",
    "block_label_text_size": "*text_sm",
    "input_radius": "14px",
    "button_secondary_text_color": "*body_text_color",
}
SET = ALWAYS | {
    name + dark: value
    for name, values in BY_DAY_AND_NIGHT.items()
    for dark, value in zip(("", "_dark"), values, strict=True)
}
