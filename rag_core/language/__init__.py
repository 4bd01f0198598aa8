"""What several stages read in text alike: sentences and terms, periods, years of table cells, orders to a machine."""
