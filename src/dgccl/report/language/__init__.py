"""The report in another language.

`results.json` and the code write English sentences with figures in them. A page in another language is made from the
finished page: every sentence is found in a catalog (gettext's PO format, placeholders in braces for what varies), and
what was found for the placeholders stands in the translated sentence as it is. So no figure is computed or formatted
twice, and a translation cannot change one: an entry whose numbers or placeholders differ from its original is refused.
A sentence without an entry stays in English and is listed in `Translator.missing`.
"""

from dgccl.report.language.catalog import LANGUAGES, Catalog, load_catalog
from dgccl.report.language.content import translated
from dgccl.report.language.translator import Translator

__all__ = ["LANGUAGES", "Catalog", "Translator", "load_catalog", "translated"]
