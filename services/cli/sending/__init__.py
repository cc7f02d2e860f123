"""Events from where people have them onto a topic, and what became of them."""
