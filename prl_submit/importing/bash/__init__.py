"""What a piece of bash means, without running it: text -> statements, words, values."""
