"""Which voice speaks a message. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from shared.speech import voice_for


@dataclass(frozen=True, slots=True)
class Voices:
    """The operator's default, and what 8x8 offers this subaccount (code -> locale); empty: not known yet."""

    default: str
    offered: dict[str, str]

    def choose(self, language: str | None, voice: str | None) -> str:
        """
        The speech profile for a request.

        Raises:
            ValueError: No such voice, or none for the language; the sentence begins with the member.
        """
        if voice is not None:
            if self.offered and voice not in self.offered:
                raise ValueError("voice: is not among the speech profiles of this account")
            return voice
        if language is None:
            return self.default
        return self._of_language(language)

    def _of_language(self, language: str) -> str:
        try:
            choice = voice_for(language, self.default)
        except ValueError:
            if not self.offered:
                raise
            choice = None
        if choice is not None and (not self.offered or choice in self.offered or choice == self.default):
            return choice
        tag = language.replace("_", "-").lower()
        by_tag = [code for code, locale in sorted(self.offered.items()) if locale.lower() == tag]
        primary = tag.split("-", maxsplit=1)[0]
        by_language = [code for code, locale in sorted(self.offered.items()) if locale.lower().split("-")[0] == primary]
        if not by_language:
            raise ValueError("language: this account has no voice for it")
        return (by_tag or by_language)[0]
