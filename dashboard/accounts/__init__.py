"""Who may sign in to the dashboard and what each role may do; accounts of the broker are not these."""
