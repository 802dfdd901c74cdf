"""The analyses, a module each: its name is what ``wsolbench analyze`` takes, and its class is called `Study`."""
