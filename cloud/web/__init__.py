"""The web part: the staff console (server-rendered pages, live by server-sent events) and the REST API."""
