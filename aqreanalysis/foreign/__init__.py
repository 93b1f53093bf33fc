"""Files of others: where their cells lie, when their hours are, in which units they count."""
