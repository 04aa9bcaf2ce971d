"""`python -m hemowire` is the `hemowire` command."""

from hemowire.cli import main

raise SystemExit(main())
