"""What the addresses take and give, in OpenAPI 3.1, for programs that read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.serving.app import HEALTH, LONGEST_NAME, OPENAPI, PAGE, PREDICT, UNNAMED
from striate.serving.body import PLAIN, Uploads

REFUSED = {
    "400": "no picture that can be read, an empty body, or a parameter that cannot be used",
    "403": "asked for by another name than localhost or 127.0.0.1, or by a page of another origin",
    "408": "the body did not come in time",
    "413": "the body is larger than is taken",
    "415": "the body is said to be something else than a picture, or to be packed",
    "503": "as many pictures as are answered at once are being answered",
}
TOP = {
    "name": "top",
    "in": "query",
    "description": "how many classes to tell, the most probable first; of labels every one is told in any case",
    "schema": {"type": "integer", "minimum": 1, "default": 1},
}


def openapi(answer: Mapping[str, Any], uploads: Uploads, version: str, *, ranked: bool) -> dict[str, Any]:
    """The description of a service. answer: the schema of what a picture gets (JSON Schema 2020-12); ranked: whether
    some answers are more probable than others, so that there is a `top` of them."""
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    refused = {status: {"description": words, "content": error} for status, words in REFUSED.items()}
    own = {"403": refused["403"]}
    picture = {"schema": {"type": "string", "contentEncoding": "binary", "maxLength": uploads.bytes}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Striate",
            "version": version,
            "description": "Answers of one network for pictures, on this machine alone.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            PAGE: {
                "get": {
                    "operationId": "page",
                    "summary": "A page on which pictures are dropped",
                    "responses": {
                        "200": {"description": "the page", "content": {"text/html": {"schema": {"type": "string"}}}},
                        **own,
                    },
                }
            },
            PREDICT: {
                "post": {
                    "operationId": "predict",
                    "summary": "The answer for one picture",
                    "description": "The body is the picture itself: JPEG, PNG, WebP, GIF, BMP, TIFF, PNM or AVIF. The "
                    "answer is a line of `striate predict --format jsonl`.",
                    "parameters": [
                        *([TOP] if ranked else []),
                        {
                            "name": "name",
                            "in": "query",
                            "description": "what the answer calls the picture",
                            "schema": {"type": "string", "maxLength": LONGEST_NAME, "default": UNNAMED},
                        },
                    ],
                    "requestBody": {
                        "required": True,
                        "content": dict.fromkeys(("image/*", *PLAIN), picture),
                    },
                    "responses": {
                        "200": {
                            "description": "the answer",
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}},
                        },
                        **refused,
                    },
                }
            },
            HEALTH: {
                "get": {
                    "operationId": "health",
                    "summary": "That it answers, and what it knows",
                    "responses": {
                        "200": {
                            "description": "it answers",
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}},
                        },
                        **own,
                    },
                }
            },
            OPENAPI: {
                "get": {
                    "operationId": "openapi",
                    "summary": "This description",
                    "responses": {
                        "200": {
                            "description": "OpenAPI 3.1",
                            "content": {"application/json": {"schema": {"type": "object"}}},
                        },
                        **own,
                    },
                }
            },
        },
        "components": {
            "schemas": {
                "Answer": dict(answer),
                "Health": {
                    "type": "object",
                    "required": ["status", "task", "class_names", "striate"],
                    "properties": {
                        "status": {"type": "string", "const": "ok"},
                        "task": {"type": "string"},
                        "class_names": {"type": "array", "items": {"type": "string"}},
                        "striate": {"type": "string"},
                    },
                },
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string", "description": "one sentence"}},
                },
            }
        },
    }
