# SPDX-License-Identifier: MIT
"""What the public headers declare, read from their text."""
import re


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def without_attributes(text):
    """Removes __attribute__((...)), whose brackets nest."""
    while (start := text.find("__attribute__")) >= 0:
        depth, end = 0, text.index("(", start)
        while True:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
            if depth == 0:
                break
        text = text[:start] + text[end:]
    return text


class Declared:
    """Names that the headers of a folder declare."""

    def __init__(self, folder):
        self.functions = set()  # PW_EXPORT and PW_INLINE, but for the inlines' own helpers
        self.private = set()  # of them, inlines that only other inlines need: no symbols
        self.data = set()
        self.macros = set()
        self.identifiers = set()  # every pw_ and PW_ word, whatever it is
        for header in sorted(folder.glob("*.h")):
            self.add(without_comments(header.read_text(encoding="utf-8")))

    def add(self, text):
        self.identifiers |= set(re.findall(r"\b(?:pw|PW)_\w+|\bINIT_PW\w*", text))
        self.macros |= set(re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", text, flags=re.MULTILINE))
        code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.MULTILINE)
        code = without_attributes(code)
        for word, declaration in re.findall(r"\bPW_(EXPORT|INLINE)\b([^;{]*)[;{]", code):
            function = re.search(r"(\w+)\s*\(", declaration)
            if function and function.group(1).startswith("pw_detail_"):
                continue  # part of an inline: no other language needs it
            if function:
                self.functions.add(function.group(1))
                if word == "INLINE" and function.group(1).startswith("pw_detail_"):
                    self.private.add(function.group(1))
            else:
                self.data.add(declaration.split()[-1])
