# SPDX-License-Identifier: Apache-2.0
"""Dictionaries, strings, objects and calls: words.py ROUNDS"""
import sys
import time


class Tree:
    """A binary tree without balance."""

    def __init__(self, key):
        self.key, self.left, self.right, self.count = key, None, None, 1

    def add(self, key):
        at = self
        while at.key != key:
            side = "left" if key < at.key else "right"
            below = getattr(at, side)
            if below is None:
                setattr(at, side, Tree(key))
                return
            at = below
        at.count += 1

    def walk(self):
        if self.left:
            yield from self.left.walk()
        yield self.key, self.count
        if self.right:
            yield from self.right.walk()


def once(seed):
    state, words = seed, []
    for _ in range(1000):
        state = (state * 1103515245 + 12345) & 0x7fffffff
        words.append("w%d" % (state >> 8 & 255))
    counts, tree = {}, Tree("w128")
    for word in words:
        counts[word] = counts.get(word, 0) + 1
        tree.add(word)
    pairs = sorted(counts.items(), key=lambda p: (-p[1], p[0]))
    text = ",".join(f"{word}={n}" for word, n in pairs)
    return sum(n * len(word) for word, n in tree.walk()) + len(text.split("="))


def main():
    begin = time.monotonic_ns()
    total = sum(once(seed) for seed in range(int(sys.argv[1])))
    print("ns", time.monotonic_ns() - begin)
    print("sum", total)


main()
