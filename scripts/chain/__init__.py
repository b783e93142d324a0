"""The whole chain on one machine: a mirror port, the services, and a virtual sound card that keeps time."""
