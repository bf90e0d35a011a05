"""A trainable teacher: starts like a frozen one, and a method's `update_teacher` moves it with an optimizer of its own."""

from __future__ import annotations

from kdzoo.teachers.frozen import Frozen


class Trainable(Frozen):
    """A teacher that a method moves (ProKT, MetaDistil). Its optimizer is `optimizers.<its name>`.

    It answers in eval mode unless a method needs `teacher_mode="train"`.
    """

    frozen = False
    trains = True
