"""The GraphQL queries of the Dagster UI that is installed, read from the scripts that it sends to browsers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import dagster_webserver
from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSyntaxError,
    NonNullTypeNode,
    OperationDefinitionNode,
    parse,
    print_ast,
    visit,
)
from graphql.language import Visitor

#: A document as a script has it: a string literal that begins with an operation or a fragment.
_LITERAL = re.compile(r"""(["'])((?:\\n|\s)*(?:query|fragment) [A-Za-z_]+(?:(?!\1)[^\\]|\\.)*)\1""")


def ui_queries(names: Iterable[str]) -> dict[str, DocumentNode]:
    """Queries by name, with the fragments that they use.

    Raises:
        KeyError: This version of the UI has no such query.
    """
    operations: dict[str, OperationDefinitionNode] = {}
    fragments: dict[str, FragmentDefinitionNode] = {}
    for script in (Path(dagster_webserver.__file__).parent / "webapp" / "build").rglob("*.js"):
        for quote, literal in _LITERAL.findall(script.read_text()):
            try:
                document = parse(ast.literal_eval(f"{quote}{literal}{quote}"))
            except (GraphQLSyntaxError, SyntaxError):
                continue
            for node in document.definitions:
                if isinstance(node, OperationDefinitionNode) and node.name:
                    operations[node.name.value] = node
                elif isinstance(node, FragmentDefinitionNode):
                    fragments[node.name.value] = node
    return {name: _with_fragments(operations[name], fragments) for name in names}


def text(document: DocumentNode) -> str:
    """The query as it is sent."""
    return print_ast(document)


def required(document: DocumentNode) -> dict[str, str]:
    """Variables that must be given, with their types."""
    (operation,) = (node for node in document.definitions if isinstance(node, OperationDefinitionNode))
    return {
        node.variable.name.value: print_ast(node.type)
        for node in operation.variable_definitions or ()
        if isinstance(node.type, NonNullTypeNode)
    }


def _with_fragments(operation: OperationDefinitionNode, fragments: dict[str, FragmentDefinitionNode]) -> DocumentNode:
    found: dict[str, FragmentDefinitionNode] = {}
    waiting = _spread(operation)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = fragments[name]
            waiting |= _spread(fragments[name])
    return DocumentNode(definitions=(operation, *found.values()))


def _spread(node: OperationDefinitionNode | FragmentDefinitionNode) -> set[str]:
    names: set[str] = set()

    class Collector(Visitor):
        def enter_fragment_spread(self, spread: FragmentSpreadNode, *_: object) -> None:
            names.add(spread.name.value)

    visit(node, Collector())
    return names
