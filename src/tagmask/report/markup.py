"""HTML that no name, path or error text can break: every text is escaped unless it is markup already."""

from html import escape

VOID = frozenset({"br", "img", "meta"})


class Markup(str):
    """Text that is HTML and must not be escaped again."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: object) -> Markup:
    """An element with escaped attributes and escaped children, except children that are `Markup`.

    Attributes are written with ``-`` for ``_``, without a trailing ``_``; those that are None or False are left out and
    True stands alone.

    Example:
        >>> element("p", "1 < 2 ", element("b", "so"), class_="note", hidden=None)
        '<p class="note">1 &lt; 2 <b>so</b></p>'
    """
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Markup(opening if name in VOID else f"{opening}{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Children one after another, escaped unless they are markup."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
