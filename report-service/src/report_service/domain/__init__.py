"""What is true: the book as sums a delivery period, a day's figures, who may read what. No I/O."""
