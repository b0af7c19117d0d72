"""Writes chat_templates.json beside this file: templates, contexts, and what Jinja makes of them.

Needs Debian's python3-jinja2; run it with the system's python3. The environment has the settings
that Hugging Face transformers gives its chat templates. All templates here were written for this
table, in the manner of those that models come with. strftime_now tells 26 July 2024, 13:05:09.
"""

import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

import chat_template_cases
import chat_template_chats

NOW = datetime.datetime(2024, 7, 26, 13, 5, 9)


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks what the model writes; here it is its content."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_content")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _content(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def environment():
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = NOW.strftime
    return made


def result(made, template, context):
    try:
        return {"expected": made.from_string(template).render(**context)}
    except Exception:  # whatever Jinja or Python refuses counts alike
        return {"error": True}


def main():
    cases = [("{{ " + line + " }}", chat_template_cases.CONTEXT)
             for line in chat_template_cases.EXPRESSIONS.splitlines() if line]
    cases += [(template, chat_template_cases.CONTEXT)
              for template in chat_template_cases.STATEMENTS]
    cases += chat_template_chats.cases()
    made = environment()
    table = []
    before = None
    for template, context in cases:
        # A case without a template has that of the case before.
        named = {} if template == before else {"template": template}
        table.append({**named, "context": context, **result(made, template, context)})
        before = template
    path = pathlib.Path(__file__).with_suffix(".json")
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in table)
    path.write_text("[" + lines + "]\n")
    print(len(table), "cases,", sum("error" in case for case in table), "of them refused")


if __name__ == "__main__":
    main()
