"""The cloud: takes findings in, opens support cases with evidence and time to impact, shows them to support staff."""

from importlib.metadata import version

__version__ = version("forewarn")
