"""Where one cell of a table comes from: its rows, its runs, and the scans behind them."""
