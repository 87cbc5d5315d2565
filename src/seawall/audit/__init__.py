"""The rules that find trouble before the disaster does: facts in, findings out, worst first.

``rule`` is the model (rule, verdict), independent of where facts come from; ``rules`` are those over a server
and its plan, ``facts`` what they read, ``observe`` what fills that in; ``report`` holds the findings with their
waivers and the headline. Nothing here changes anything, prints anything or decides what a recovery does.
"""

__all__: list[str] = []
