"""Everything that can be asked of an agent: the table of actions, their arguments and what each does."""

from edge_device.actions.table import ACTIONS, Actions, Answer

__all__ = ["ACTIONS", "Actions", "Answer"]
