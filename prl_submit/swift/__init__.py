"""What is known of ms-swift's own arguments."""
