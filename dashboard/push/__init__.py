"""Notifications to readers' phones: that a case is urgent, never which or whose; it shows nothing by itself."""
