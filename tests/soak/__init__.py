"""Half an hour of play with a fault every minute: does anything grow, is anything left behind?"""
