"""Whole chats for chat_templates.py: templates in the manner of those that models come with, each
written for this table, and conversations to run them on."""

TOOL = {"type": "function", "function": {
    "name": "weather", "description": "Tells the weather \u2014 here & now.",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "Where?"},
        "days": {"type": "integer", "enum": [1, 2, 3]},
        "units": {"type": ["string", "null"], "default": None},
        "spots": {"type": "array", "items": {"type": "object", "properties": {
            "x": {"type": "number"}}}}},
        "required": ["city"]}}}
PLAIN_TOOL = {"type": "function", "function": {
    "name": "stop", "description": "Ends it.", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "abcdefghi", "type": "function", "function": {
    "name": "weather", "arguments": {"city": "K\u00f6ln", "days": 2}}}
TEXT_CALL = {"id": "abcdefghi", "type": "function", "function": {
    "name": "weather", "arguments": "{\"city\": \"Bonn\"}"}}

USER = {"role": "user", "content": "Hello,  you!\n"}
SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": " Hi.\n"}
THOUGHT = {"role": "assistant", "content": "<think>\nhm, 1 < 2\n</think>\n\nYes."}
REASONED = {"role": "assistant", "content": "No.", "reasoning_content": "it is not"}
PARTS = {"role": "user", "content": [
    {"type": "text", "text": "What is "}, {"type": "image"}, {"type": "text", "text": "this?"}]}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TWO_CALLS = {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, TEXT_CALL]}
RESULT = {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi", "content": "rain, 7\u00b0"}
JSON_RESULT = {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi",
               "content": {"sky": "grey", "wind": [1.5, 2]}}
MORE = {"role": "user", "content": "And \U0001F642?"}

CHATS = {
    "one": [USER],
    "system": [SYSTEM, USER],
    "turns": [SYSTEM, USER, ANSWER, MORE],
    "no_system": [USER, ANSWER, MORE, ANSWER],
    "two_users": [USER, MORE],
    "assistant_first": [ANSWER, USER],
    "thoughts": [USER, THOUGHT, MORE, REASONED],
    "parts": [PARTS, ANSWER, MORE],
    "system_parts": [{"role": "system", "content": [{"type": "text", "text": "Be kind."}]}, PARTS],
    "tools": [SYSTEM, USER, CALLS, RESULT, ANSWER],
    "many_tools": [USER, TWO_CALLS, RESULT, JSON_RESULT, ANSWER, MORE],
    "odd_role": [USER, {"role": "critic", "content": "Hm."}],
    "empty": [],
    "no_content": [{"role": "user"}],
}

TEMPLATES = {}

# One turn after another, added up from pieces with +.
TEMPLATES["plain_turns"] = (
    "{% for m in messages %}{{ '<|turn ' + m['role'] + '|>\\n' + m['content'] + '\\n<|done|>\\n' }}"
    "{% endfor %}{{ '<|turn assistant|>\\n' if add_generation_prompt }}")

# The same written out as text, which rests on trim_blocks and lstrip_blocks.
TEMPLATES["turns_as_text"] = """\
{% if messages | length == 0 or messages[0].role != 'system' %}
<|turn system|>
Help where you can.
<|done|>
{% endif %}
{% for m in messages %}
    {# Contents of several parts are passed over. #}
    {% if m.content is string %}
<|turn {{ m.role }}|>
{{ m.content | trim }}
<|done|>
    {% endif %}
{% endfor %}
{%- if add_generation_prompt %}

<|turn assistant|>
{% endif %}
"""

# Brackets around questions; the instructions of the system lie in the first of them.
TEMPLATES["bracketed"] = """\
{%- set start = 1 if messages and messages[0].role == 'system' else 0 -%}
{%- set preface = '{{' ~ messages[0].content ~ '}}\\n\\n' if start else '' -%}
{%- for turn in messages[start:] -%}
    {%- set asks = loop.index is odd -%}
    {%- if asks != (turn.role == 'user') -%}
        {{ raise_exception('Turn ' ~ loop.index ~ ' is by ' ~ turn.role) }}
    {%- endif -%}
    {%- if asks -%}
        {{ bos_token ~ '[ASK] ' ~ (preface if loop.first) ~ turn.content.strip() ~ ' [/ASK]' }}
    {%- else -%}
        {{ ' ' ~ turn.content.strip() ~ ' ' ~ eos_token }}
    {%- endif -%}
{%- endfor -%}"""

# Settings with defaults, the date, tools as indented JSON before or within the first question.
TEMPLATES["settings"] = """\
{{- bos_token -}}
{%- set place = tools_first if tools_first is defined else true -%}
{%- if today is not defined -%}
    {%- set today = strftime_now('%d %b %Y') if strftime_now is defined else 'unknown' -%}
{%- endif -%}
{%- macro head(role) -%}
    <~{{ role }}~>{{ '\\n' }}
{%- endmacro -%}
{%- macro written(content) -%}
    {%- if content is string -%}
        {{ content | trim }}
    {%- elif content is mapping -%}
        {{ content | tojson }}
    {%- else -%}
        {%- for piece in content -%}
            {{ '<picture>' if piece.type == 'image' else piece['text'] | trim }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- set rest = namespace(turns=messages, rules='') -%}
{%- if messages[0]['role'] == 'system' -%}
    {%- set rest.rules = written(messages[0]['content']) -%}
    {%- set rest.turns = messages[1:] -%}
{%- endif -%}
{{ head('system') ~ 'It is ' ~ today ~ '.\\n' ~ rest.rules }}
{%- if tools is not none and not place -%}
    {{ '\\n' ~ tools | map('tojson', indent=2) | join('\\n') }}
{%- endif -%}
{{ '<~/~>' }}
{%- if tools is not none and place -%}
    {%- if not rest.turns -%}
        {{ raise_exception('Tools go with a question, and there is none') }}
    {%- endif -%}
    {{ head('user') }}
    {%- for tool in tools -%}
        {{ tool | tojson(indent=4) ~ '\\n---\\n' }}
    {%- endfor -%}
    {{ rest.turns[0].content | trim ~ '<~/~>' }}
    {%- set rest.turns = rest.turns[1:] -%}
{%- endif -%}
{%- for turn in rest.turns -%}
    {%- if turn.tool_calls -%}
        {%- if turn['tool_calls'] | length > 1 -%}
            {{ raise_exception('Only one tool can be called at a time') }}
        {%- endif -%}
        {%- set wanted = turn.tool_calls[0]['function'] -%}
        {{ head('assistant') ~ {'call': wanted.name, 'with': wanted.arguments} | tojson }}
    {%- else -%}
        {{ head('result' if turn.role == 'tool' else turn.role) ~ written(turn.content) }}
    {%- endif -%}
    {{ '<~/~>' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ head('assistant') }}{% endif -%}
"""

# Order is checked, results of tools aside; tools stand before the last question alone.
TEMPLATES["checked_order"] = """\
{%- set talk = messages | rejectattr('role', 'eq', 'system') | list -%}
{%- set rules = messages | selectattr('role', 'eq', 'system') | map(attribute='content') | list -%}
{%- set questions = talk | selectattr('role', 'equalto', 'user') | list -%}
{%- set state = namespace(expects='user') -%}
{%- for turn in talk if turn.role != 'tool' and not turn.tool_calls -%}
    {%- if turn.role != state.expects -%}
        {{ raise_exception('Expected a turn by ' + state.expects + ', not by ' + turn.role) }}
    {%- endif -%}
    {%- set state.expects = {'user': 'assistant', 'assistant': 'user'}[turn.role] -%}
{%- endfor -%}
{{ bos_token }}
{%- for turn in talk -%}
    {%- if turn.role == 'user' -%}
        {%- if tools and turn == questions[-1] -%}
            {{ '(tools: ' }}
            {%- for tool in tools -%}
                {{ '{' }}
                {%- for key, part in tool.function.items() if key != 'strict' -%}
                    {{ key | tojson ~ '= ' ~ (part if part is string else part | tojson) }}
                    {{- '; ' if not loop.last else '}' -}}
                {%- endfor -%}
                {{ ', ' if not loop.last }}
            {%- endfor -%}
            {{ ')' }}
        {%- endif -%}
        {{ '(Q) ' + (rules[0] + '\\n\\n' if rules and loop.last else '') + turn['content'] + ' (/Q)' }}
    {%- elif turn.tool_calls is defined -%}
        {%- for call in turn.tool_calls -%}
            {%- if call.id is undefined or call.id | length != 9 -%}
                {{ raise_exception('The id of a call has nine characters') }}
            {%- endif -%}
            {{ (call.function | tojson)[:-1] + ', "id": "' + call.id + '"}' }}
            {{- eos_token if loop.last else ' + ' -}}
        {%- endfor -%}
    {%- elif turn.role == 'tool' -%}
        {{ '(result ' ~ turn.tool_call_id ~ ') ' ~ turn.content | string ~ ' (/result)' }}
    {%- else -%}
        {{ ' ' ~ turn.content | trim ~ eos_token }}
    {%- endif -%}
{%- endfor -%}
"""

# Neighbouring results of tools share a turn; arguments are a text or an object.
TEMPLATES["shared_turns"] = """\
{%- macro open(role) %}{{ '<|turn ' ~ role ~ '|>\\n' }}{% endmacro -%}
{%- set close = '<|done|>\\n' -%}
{%- set rules = messages[0].content if messages[0].role == 'system' else none -%}
{%- if rules is not none or tools -%}
    {{ open('system') ~ (rules or 'Help where you can.') }}
    {%- if tools %}
        {{- '\\n\\nThese can be called:' }}
        {%- for tool in tools %}
            {{- '\\n* ' ~ tool | tojson }}
        {%- endfor %}
        {{- "\\n\\nA call looks like \\"{'name': ...}\\"." }}
    {%- endif %}
    {{- close }}
{%- endif %}
{%- for turn in messages %}
    {%- if turn.role == 'tool' %}
        {%- if loop.first or loop.previtem.role != 'tool' %}
            {{- open('user') }}
        {%- endif %}
        {{- '{result}' ~ turn.content ~ '{/result}\\n' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}
            {{- close }}
        {%- endif %}
    {%- elif turn.role == 'assistant' and turn.tool_calls %}
        {{- open('assistant') ~ (turn.content ~ '\\n' if turn.content) }}
        {%- for call in turn.tool_calls %}
            {%- set call = call.function if call.function is defined else call %}
            {%- set given = call.arguments if call.arguments is string else call.arguments | tojson %}
            {{- '{call}{"name": "' + call.name + '", "arguments": ' + given + '}{/call}\\n' }}
        {%- endfor %}
        {{- close }}
    {%- elif not loop.first or turn.role != 'system' %}
        {{- open(turn.role) + turn.content + '\\n' + close }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- open('assistant') }}
{%- endif %}
"""

# Thoughts are cut out of what was answered before the last question, which is looked for backwards.
TEMPLATES["thoughts"] = """\
{%- set found = namespace(at=-1) -%}
{%- for turn in messages | reverse -%}
    {%- if turn.role == 'user' and turn.content is string and not turn.content.startswith('{result}') -%}
        {%- set found.at = loop.revindex0 -%}
        {%- break -%}
    {%- endif -%}
{%- endfor -%}
{%- for turn in messages -%}
    {%- set said = turn.content if turn.content is string else '' -%}
    {%- set thought = turn.reasoning_content | default('', true) -%}
    {%- if turn.role == 'assistant' and not thought and '</think>' in said -%}
        {%- set halves = said.rsplit('</think>', 1) -%}
        {%- set thought = halves[0].split('<think>')[-1].strip('\\n') -%}
        {%- set said = halves[-1].lstrip('\\n') -%}
    {%- endif -%}
    {{ '<|turn ' + turn.role + '|>\\n' }}
    {%- if thought and (loop.index0 > found.at or loop.last) -%}
        {{ '<think>' ~ thought.rstrip() ~ '</think>\\n' }}
    {%- endif -%}
    {{ said ~ '<|done|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<|turn assistant|>\\n' ~ ('<think></think>\\n' if enable_thinking is defined and enable_thinking is false) }}
{%- endif -%}"""

# The assistant has another name, and there are no instructions.
TEMPLATES["renamed"] = """\
{{ bos_token }}{% set names = {'user': 'human', 'assistant': 'machine'} %}
{% for turn in messages -%}
    {%- if turn.role not in names %}{{ raise_exception('Nobody here is called ' ~ turn.role) }}{% endif -%}
    {%- if not loop.first and loop.previtem.role == turn.role -%}
        {{ raise_exception('The ' + names[turn.role] + ' speaks twice') }}
    {%- endif -%}
<{{ names[turn.role] }}>{{ turn['content'] | trim }}</{{ names[turn.role] }}>
{% endfor %}
{% if add_generation_prompt %}<machine>{% endif %}"""

# Instructions before the first turn; contents of several parts.
TEMPLATES["parts"] = """\
{%- macro parts_of(content) -%}
    {%- if content is string -%}
        {{ content | trim }}
    {%- elif content is iterable -%}
        {%- for part in content -%}
            {%- if part.type == 'text' %}{{ part.text | trim }}{% elif part.type == 'image' %}<#>{% endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception('A content is neither a text nor a list') }}
    {%- endif -%}
{%- endmacro -%}
{%- if messages and messages[0].role == 'system' -%}
    {%- set first, turns = parts_of(messages[0].content) ~ '\\n\\n', messages[1:] -%}
{%- else -%}
    {%- set first, turns = '', messages -%}
{%- endif -%}
{{ bos_token }}
{%- for turn in turns -%}
    <{{ 'model' if turn.role == 'assistant' else turn.role }}>
    {{- first if loop.first }}{{ parts_of(turn.content) }}</>
{% endfor -%}
{{- '<model>' if add_generation_prompt -}}
"""

# Three roles by a chain of elif, all on one line.
TEMPLATES["chain"] = (
    "{%- for t in messages -%}{% if t.role == 'user' %}{{ '@u ' ~ t.content ~ '\\n' }}"
    "{% elif t.role == 'system' %}{{ '@s ' + t.content + '\\n' }}"
    "{% elif t.role == 'assistant' and t.content %}{{ '@a ' ~ t.content ~ eos_token ~ '\\n' }}"
    "{% else %}{# nobody #}{% endif %}{%- endfor %}"
    "{% if add_generation_prompt %}{{ '@a' }}{% else %}{{ eos_token }}{% endif %}")

# Blocks on lines of their own within the loop, the prompt written in its last round.
TEMPLATES["block_lines"] = """\
{% for t in messages %}
  {% if t.role in ['system', 'user'] %}
{{ '/' ~ t.role ~ '/ ' ~ t.content ~ eos_token }}
  {% elif t.role == 'assistant' %}
{{ '/assistant/ ' + t.content + eos_token }}
  {% endif %}
  {%- if loop.last and add_generation_prompt %}
/assistant/
  {%- endif %}
{% endfor %}
"""

# A namespace remembers what is open; calls in a fence.
TEMPLATES["open_and_close"] = """\
{%- set now = namespace(results=false, count=0, rules=[]) -%}
{%- for t in messages if t.role == 'system' %}{% set now.rules = now.rules + [t.content] %}{% endfor -%}
{{ bos_token ~ now.rules | join('\\n') }}
{%- for t in messages if t.role != 'system' -%}
    {%- if now.results and t.role != 'tool' -%}
        {{ '|results>' }}
        {%- set now.results = false -%}
    {%- endif -%}
    {%- if t.role == 'user' -%}
        {{ '|U> ' + t['content'] }}
    {%- elif t.role == 'tool' -%}
        {{ ' ' if now.results else '<results|' }}{{ t.content }}
        {%- set now.results = true -%}
    {%- elif t.content is none -%}
        {%- for call in t.tool_calls -%}
            {%- set now.count = now.count + 1 -%}
            {{ '|A> #' ~ now.count ~ ' ' ~ call['function']['name'] ~ '\\n```json\\n' + call['function']['arguments'] | tojson + '\\n```' }}
        {%- endfor -%}
        {{ eos_token }}
    {%- else -%}
        {%- set said = t.content.split('</think>')[-1] if '</think>' in t.content else t.content -%}
        {{ '|A> ' + said + eos_token }}
    {%- endif -%}
{%- endfor -%}
{{ '|results>' if now.results }}{{ '|A>' if add_generation_prompt }}"""

# Macros that write a schema as a signature, one calling itself.
TEMPLATES["signatures"] = """\
{%- macro kind(schema, nested=false) -%}
    {%- set names = {'string': 'str', 'integer': 'int', 'number': 'float', 'boolean': 'bool'} -%}
    {%- if schema.type is string and schema.type in names -%}
        {{- names[schema.type] -}}
    {%- elif schema.type == 'array' -%}
        {{- 'List[' ~ (kind(schema['items'], true) if schema['items'] is defined else 'Any') ~ ']' -}}
    {%- elif schema.type == 'object' -%}
        {{- 'Dict[str, ' -}}
        {%- set inner = schema.properties.values() | list -%}
        {{- kind(inner[0], nested=true) if inner | length == 1 else 'Any' -}}
        {{- ']' -}}
    {%- elif schema.type is sequence and schema.type is not string -%}
        {{- 'Union[' ~ schema.type | join(',') ~ ']' -}}
    {%- else -%}
        {{- 'Any' -}}
    {%- endif -%}
{%- endmacro -%}
{%- macro signature(tool) -%}
    {%- set j = joiner(', ') -%}
    {{ 'def ' ~ tool.name ~ '(' }}
    {%- for name, schema in tool.parameters.properties | dictsort -%}
        {{ j() ~ name ~ ': ' ~ kind(schema) }}
        {%- if name not in (tool.parameters.required or []) %} = None{% endif -%}
    {%- endfor -%}
    {{ ')' }}
{%- endmacro -%}
# Preamble
{% if messages and messages[0].role == 'system' %}{{ messages[0].content | trim }}{% endif %}

{% for tool in tools or [] %}
```python
{{ signature(tool.function) }}:
    \"\"\"{{ tool.function.description | indent(4) }}
    {%- for name, schema in tool.function.parameters.properties.items() %}{% if schema.description %}

    {{ name | capitalize }}: {{ schema.description }}{% endif %}{% endfor %}

    \"\"\"
    pass
```
{% endfor %}
{% for message in messages if message.role in ['user', 'assistant'] %}
<|TURN|><|{{ message.role | upper }}|>{{ message.content | default('', true) | string | trim }}<|END|>
{% endfor %}
{%- if add_generation_prompt %}<|TURN|><|ASSISTANT|>{% endif %}"""

# Documents and tools as turns of their own, with a set of controls.
TEMPLATES["documents"] = """\
{%- set has = [] -%}
{%- if tools %}{% set has = has + ['tools'] %}{% endif -%}
{%- if documents %}{% set has = has + ['documents'] %}{% endif -%}
{%- if messages[0].role == 'system' -%}
    {%- set rules, turns = messages[0].content, messages[1:] -%}
{%- else -%}
    {%- set turns = messages -%}
    {%- set rules %}
It is {{ strftime_now('%A, %B %-d, %Y') }}.
{%- if has %} You have {{ has | join(' and ') }}.{% endif %}
{%- if 'citations' in controls and documents %}

Say where you found it.{% endif %}
    {%- endset -%}
{%- endif -%}
{%- filter replace('\\r', '') -%}
[system] {{ rules }}
{% if tools %}
[tools] {{ tools | tojson(indent=4) }}
{% endif %}
{% for document in documents or [] %}
[document {{ loop.index0 | string + '/' + loop.length | string }}] {{ document.title | lower }}
{{ document['text'] | indent(2, first=true) }}
{% endfor %}
{% for turn in turns %}
[{{ turn.role }}{{ ' ' + controls | tojson(sort_keys=true) if loop.last and controls }}] {{ turn.content | string }}
{% endfor %}
{%- endfilter -%}
{{ '[assistant]' if add_generation_prompt }}"""

# What the model writes is marked, for training; loops end early.
TEMPLATES["marked"] = """\
{%- set seen = namespace(users=0) -%}
{%- for message in messages -%}
    {%- if message.role not in ('user', 'assistant', 'system') -%}{%- continue -%}{%- endif -%}
    {%- if seen.users >= 2 -%}{%- break -%}{%- endif -%}
    {%- if message.role == 'user' %}{% set seen.users = seen.users + 1 %}{% endif -%}
    {%- set text %}
{{ message.content if message.content is string else message.content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join(' ') if message.content else '' }}
    {%- endset -%}
    {%- if message.role == 'assistant' -%}
        {% generation %}
{{ loop.cycle('A', 'B') }}: {{ text | trim ~ eos_token }}
{% endgeneration %}
    {%- else -%}
        {{ message.role[0] | upper ~ message.role[1:] }}: {{ text | trim }}{{ '\\n' }}
    {%- endif -%}
{%- endfor -%}
{{ 'assistant:' if add_generation_prompt }}"""

EXTRAS = [
    {"add_generation_prompt": True, "tools": None, "documents": None},
    {"add_generation_prompt": False, "tools": [TOOL, PLAIN_TOOL], "documents": None},
    {"add_generation_prompt": True, "tools": [TOOL], "enable_thinking": False,
     "documents": [{"title": "A", "text": "One."}, {"title": "B", "text": "Two\nlines."}],
     "controls": {"length": "short", "citations": True}, "tools_first": False},
]


def cases():
    """Each template on every chat, with one of the extras in turn."""
    made = []
    for i, template in enumerate(TEMPLATES.values()):
        for k, chat in enumerate(CHATS.values()):
            special = {"bos_token": "<s>", "eos_token": "</s>"}
            extra = EXTRAS[(i + k + k // 3) % len(EXTRAS)]
            made.append((template, {"messages": chat, **special, **extra}))
    return made
