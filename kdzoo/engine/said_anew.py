"""What a class says of its own hooks is not true of a subclass that defines these hooks anew, and does not say it again."""

from __future__ import annotations


def holds(owner: object, said: str, of: str) -> bool:
    """Whether `said` of an object is about its hook `of`: the class of the hook defines it, or a subclass, or the object does.

    >>> class Task:
    ...     heads = ("fine",)
    ...     def forward(self): ...
    >>> class Other(Task):
    ...     def forward(self): ...
    >>> holds(Task(), "heads", of="forward"), holds(Other(), "heads", of="forward")
    (True, False)
    """
    classes = type(owner).__mro__
    own = classes[: 1 + next(place for place, each in enumerate(classes) if of in vars(each))]
    return said in vars(owner) or any(said in vars(each) for each in own)
