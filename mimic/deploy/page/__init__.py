"""The operator's page: what a deployment does, in a browser, and buttons that ask for something."""
