"""What a picture's file says of how it was made, written and read back."""
