"""The operations on templates."""

from __future__ import annotations

from typing import Final

from ingress.openapi import answers, asked
from ingress.openapi.operation import CALLS, KEYED, Operation
from ingress.openapi.parameters import TEMPLATE

TEMPLATES: Final = (
    Operation(
        method="get",
        path="/v1/templates",
        name="listTemplates",
        summary="Your templates, of each the newest version.",
        answers={200: (answers.Templates,)},
    ),
    Operation(
        method="get",
        path="/v1/templates/{name}",
        name="readTemplate",
        summary="One template with all its versions.",
        parameters=(TEMPLATE,),
        answers={200: (answers.TemplateStory,)},
        errors=(*KEYED, "not_found"),
    ),
    Operation(
        method="put",
        path="/v1/templates/{name}",
        name="keepTemplate",
        summary="Keep a text under a name; another text is another version, and counts within 5 seconds.",
        parameters=(TEMPLATE,),
        body=asked.TemplateText,
        answers={200: (answers.Template,), 201: (answers.Template,)},
        errors=(*CALLS, "forbidden", "too_many_templates"),
        example={"text": "Your {shop} code is {code}.", "language": "en-US"},
    ),
    Operation(
        method="delete",
        path="/v1/templates/{name}",
        name="deleteTemplate",
        summary="Make no more messages of a template; those that were made are placed.",
        parameters=(TEMPLATE,),
        answers={200: (answers.Template,)},
        errors=(*KEYED, "forbidden", "not_found"),
    ),
)
