"""Who looks at pictures of the drawn world and says what is in them."""
