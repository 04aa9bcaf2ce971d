"""The report of an evaluation: metrics.json's figures as pictures and tables on one page; it computes none of them."""
