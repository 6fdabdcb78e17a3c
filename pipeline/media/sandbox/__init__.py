"""Decoding in a child process that can do little else: started, confined, limited, spoken with."""
