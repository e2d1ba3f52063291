"""The forms that other programs speak, apps with an OpenAPI each, all through one `Maker`."""
