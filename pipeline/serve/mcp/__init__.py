"""The search for agents, by the Model Context Protocol."""
