"""What test_recipes_alike.py swaps in each id, one file a group of methods.

A file defines ``AS_CE`` (id -> settings that put plain cross-entropy in the place of its formula),
``PIECES`` ((id, setting): each setting must change the trained model) and ``IDENTITIES`` (pairs of
ids that the specifications state to be one method, with the reason).
"""
