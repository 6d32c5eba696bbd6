"""Messages between the people who run a project and those who answer in it."""
