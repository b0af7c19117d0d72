"""Small cases for chat_templates.py: expressions, one a line, and statements."""

EXPRESSIONS = r"""
1 + 2
1 + 2 * 3
(1 + 2) * 3
7 / 2
8 / 2
7 // 2
-7 // 2
7 // -2
7.5 // 2
-7.5 // 2
7 % 3
-7 % 3
7 % -3
7.5 % 2
-7.5 % 2
-7.5 % -2
2 ** 10
2 ** -1
2 ** 0.5
2 ** 3 ** 2
-2 ** 2
(-2) ** 3
0 ** 0
4 - 1 - 1
- 5
-(-5)
+5
+true
-true
1_000 + 1
0x1f
0b101
0o17
1e3
1.5e-3
2.50
1e16
1e15
1e22
1e-4
1e-5
123456789.123456789
0.1 + 0.2
3.0
-0.0
1.0 * 3
10 // 3 * 3 + 10 % 3
1 // 0
1 / 0
1 % 0
1.0 // 0
true + true
true
True
false
none
None
[1, 2.5, 'a', true, none]
[]
()
(1,)
(1, 2)
1, 2
{}
{'a': 1, 'b': [1, 2], 3: 'x', none: 4.0}
{'a': 1, 'a': 2}
{1: 'a', true: 'b', 1.0: 'c'}
['it''s']
["it's"]
['say "x"']
['both \' and "']
['tab\tline\nback\\slash']
['\x00\x1f\x7f\xa0\u200b\u2028']
['é中🙂']
'a' 'b' "c"
'a\tb\\n\'q\'\"'
"\x41\u00e9\U0001F642\101"
'\q\d'
'a' + 'b'
'a' + 1
1 + 'a'
'a' ~ 1 ~ none ~ true ~ 1.0
'a' ~ undefined_name ~ 'b'
'ab' * 3
3 * 'ab'
'ab' * 0
'ab' * -1
[1, 2] * 2
(1,) * 3
'a' * 'b'
[1] + [2, 3]
(1,) + (2,)
[1] + (2,)
[1] + 'a'
1 ~ 2 + 3
'%s-%s' % ('a', 1)
'%d%%' % 5
'%5.2f|%-5s|%05d|%x|%r' % (3.14159, 'ab', 42, 255, 'q')
'%s' % 'x'
'x' % [1]
'x' % {}
'x' % undefined_name
'x' % ([1] | reverse)
'x' % 1
'%s' % [1, 2]
'%s %s' % 'x'
'%s' % undefined_name
'%(a)s' % {'a': 1}
1 == 1.0
1 == true
'a' == 'a'
'a' != 'b'
'1' == 1
none == none
none == false
[1, 2] == [1, 2]
[1, 2] == (1, 2)
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
1 < 2
1 < 2 < 3
1 < 3 < 2
3 > 2 >= 2
1 <= 1.5
'a' < 'b'
'Z' < 'a'
'é' > 'z'
[1, 2] < [1, 3]
[1] < [1, 0]
(1, 'a') < (1, 'b')
'a' < 1
none < 1
true and false
true or false
not true
not not 5
1 and 2
0 and 2
1 or 2
0 or '' or none
'' or 'x'
not ''
not []
not {}
not 0.0
not 'a'
1 if true else 2
1 if false else 2
1 if false
'x' if none else 'y' if true else 'z'
'a' in 'abc'
'' in 'abc'
'z' in 'abc'
'z' not in 'abc'
1 in [1, 2]
1.0 in [1, 2]
'a' in {'a': 1}
'b' in {'a': 1}
1 in (1, 2)
2 in range(3)
1 in 'abc'
'a' in 5
'a' in undefined_name
'a' not in none
1 in [1] == true
undefined_name
undefined_name.x
undefined_name['x']
undefined_name()
undefined_name + 1
1 + undefined_name
undefined_name == undefined_other
undefined_name == none
undefined_name < 1
-undefined_name
not undefined_name
undefined_name | upper
undefined_name | length
undefined_name | join(',')
undefined_name | list
undefined_name | default('d')
undefined_name | tojson
undefined_name | int(5)
undefined_name | float
undefined_name | indent
undefined_name in {'a': 1}
user[undefined_name]
user.get(undefined_name, 'd')
[undefined_name]
none.x
none['x']
none.x.y
none | length
(5).x
'abc'.nothing
'abc'.nothing()
{'a': 1}.a
{'a': 1}['a']
{'a': 1}.b
{'a': 1}['b']
{'a': {'b': {'c': 5}}}.a.b.c
{'items': 5}['items']
{'items': 5}.items is callable
{'get': 5}['get']
[1, 2, 3][0]
[1, 2, 3][-1]
[1, 2, 3][5]
[1, 2, 3][-5]
[1, 2, 3].1
[1, 2, 3]['x']
[1, 2, 3][true]
(1, 2)[1]
'abc'[0]
'abc'[-1]
'abc'[9]
'aé中🙂'[3]
'aé中🙂' | length
'aé中🙂'[1:3]
'aé中🙂'[::-1]
'abcdef'[1:4]
'abcdef'[:2]
'abcdef'[4:]
'abcdef'[-2:]
'abcdef'[:-2]
'abcdef'[::2]
'abcdef'[5:1:-2]
'abcdef'[::-1]
'abcdef'[10:]
'abcdef'[3:2]
'abcdef'[-100:100]
[1, 2, 3, 4][1:]
[1, 2, 3, 4][:-1]
[1, 2, 3, 4][::-1]
[1, 2, 3, 4][-1:0:-1]
[1, 2, 3, 4][none:none]
[1, 2, 3, 4][0:4:3]
(1, 2, 3)[1:]
range(10)[2:4] | list
[1, 2][::0]
numbers['a':]
numbers[:2.0]
user.nothing[1:]
user.name[1:]
user[1:]
range(5) | list
range(2, 5) | list
range(5, 0, -2) | list
range(0) | list
range(3)[1]
range(1000000) | length
range(1, 2, 0)
range('a')
range(3) | length
dict(a=1, b='x')
dict([('a', 1), ('b', 2)])
dict({'a': 1}, b=2)
dict(a=1).a
namespace(a=1).a
namespace(a=1).b
namespace({'x': 3}).x
'Hello'.upper()
'Hello'.lower()
'hELLO wORLD'.capitalize()
"they're bill's 2nd x-ray".title()
'Hello'.swapcase()
'  x '.strip()
'  x '.lstrip() ~ '|'
'  x '.rstrip() ~ '|'
'xxaxx'.strip('x')
'abcba'.strip('ab')
'ééaé'.lstrip('é')
'a,b,c'.split(',')
'a,b,c'.split(',', 1)
'a,b,c'.rsplit(',', 1)
'a,,b'.split(',')
' a  b '.split()
' a  b  c '.split(none, 1)
' a  b  c '.rsplit(none, 1)
'a b c'.split(maxsplit=1)
'abc'.split('')
''.split()
''.split(',')
'abc'.split('abc')
'<think>x</think>y'.split('</think>')[-1]
'<think>x</think>y'.split('</think>')[0].split('<think>')[-1]
'a\nb\r\nc\n'.splitlines()
'a\nb\r\nc'.splitlines(true)
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'abc'.partition('=')
'abc'.rpartition('=')
'-'.join(['a', 'b'])
'-'.join('abc')
'-'.join([1])
'aXbXc'.replace('X', '-')
'aXbXc'.replace('X', '-', 1)
'abc'.replace('', '-')
'abc'.replace('', '-', 2)
'aaa'.replace('aa', 'b')
'abcabc'.find('c')
'abcabc'.find('c', 3)
'abcabc'.find('z')
'abcabc'.rfind('c')
'éaéa'.find('a', 2)
'abcabc'.index('c')
'abc'.index('z')
'abcabc'.count('bc')
'abc'.count('')
'aaaa'.count('aa')
'abc'.startswith('ab')
'abc'.startswith(('x', 'a'))
'abc'.startswith('b', 1)
'abc'.endswith('bc')
'abc'.endswith('b', 0, 2)
'abc'.endswith('')
'abc'.startswith(1)
'abc'.isalpha()
'ab1'.isalnum()
'12'.isdigit()
''.isdigit()
' \t'.isspace()
'abC'.islower()
'ABC1'.isupper()
'Ab Cd'.istitle()
'12'.isdecimal()
'abc'.isascii()
'é'.isascii()
'ab'.center(7, '*')
'abc'.center(6, '*')
'ab'.ljust(4) ~ '|'
'ab'.rjust(4, '.')
'-5'.zfill(4)
'abc'.removeprefix('a')
'abc'.removesuffix('c')
'abc'.removeprefix('z')
'straße'.upper()
'ÀÉ'.lower()
[1, 2, 1].count(1)
[1, 2, 1].index(2)
[1].index(5)
[1].append(2)
{'a': 1}.update({'b': 2})
{'a': 1}.get('a')
{'a': 1}.get('b')
{'a': 1}.get('b', 5)
{'a': 1, 'b': 2}.keys() | list
{'a': 1, 'b': 2}.values() | list
{'a': 1, 'b': 2}.items() | list
{'a': 1, 'b': 2}.items()
{'a': 1}.keys()
{'a': 1}.values()
{'a': 1}.keys() | length
{'a': 1}.items()[0] is defined
{[1]: 2}
(1, 2) in {'a': 1}
[1] in {'a': 1}
user[(1, 2)]
user[[1]]
'a' | upper
'Hello World' | lower
'hello world' | title
"o'neil (x) [y] a-b" | title
'hELLO' | capitalize
'  x ' | trim
'xxaxx' | trim('x')
5 | string ~ 'a'
none | string
none | upper
'abc' | length
'abc' | count
[1, 2] | length
{'a': 1} | length
5 | length
[3, 1, 2] | first
[3, 1, 2] | last
[] | first
[] | last
'abc' | first
'abc' | last
{'a': 1, 'b': 2} | first
[1, 2, 3] | join
[1, 2, 3] | join(', ')
['a', none, true] | join('-')
[{'n': 'a'}, {'n': 'b'}] | join(',', attribute='n')
'abc' | join('.')
'abc' | list
{'a': 1, 'b': 2} | list
'abc' | reverse
[1, 2, 3] | reverse | list
[1, 2] | reverse | length
'a-b-c' | replace('-', '+')
'a-b-c' | replace('-', '+', 1)
5 | replace('5', 6)
[3, 1, 2] | sort
[3, 1, 2] | sort(reverse=true)
['b', 'A', 'c'] | sort
['b', 'A', 'c'] | sort(case_sensitive=true)
[{'n': 2}, {'n': 1}] | sort(attribute='n')
[1, 'a'] | sort
{'b': 1, 'a': 2} | dictsort
{'b': 1, 'a': 2} | dictsort(by='value')
{'b': 1, 'A': 2} | dictsort(reverse=true)
[1, 5, 3] | max
[1, 5, 3] | min
[] | max
['b', 'A'] | min
[{'n': 1}] | max
[{'n': 1}, {'n': 2}] | min(attribute='n')
[1, 2, 3] | sum
[] | sum
[{'n': 2}, {'n': 1}] | sum(attribute='n')
[1.5, 2] | sum(start=1)
['a'] | sum
[1, 2, 1, 3] | unique | list
['a', 'A', 'b'] | unique | list
[1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3] | batch(2, 'x') | list
['a', 'b'] | map('upper') | list
['a', 'b'] | map('upper') | join
[{'n': 'a'}, {'n': 'b'}] | map(attribute='n') | list
[{'n': 'a'}, {}] | map(attribute='n', default='?') | list
[{'n': {'m': 1}}] | map(attribute='n.m') | list
[[1, 2], [3]] | map(attribute=0) | list
[[1, 2], [3]] | map('first') | list
['a', 'b'] | map('replace', 'a', 'z') | list
[1, 2, 3, 4] | select('odd') | list
[1, 2, 3, 4] | reject('odd') | list
[0, 1, '', 'a'] | select | list
[0, 1, '', 'a'] | reject | list
[1, 2, 3] | select('gt', 1) | list
[1, 2, 3] | select('>=', 2) | list
[1, 2] | select('in', [2, 3]) | list
[{'r': 'a'}, {'r': 'b'}] | selectattr('r', 'equalto', 'a') | list
[{'r': 'a'}, {}] | selectattr('r') | list
[{'r': 'a'}, {}] | selectattr('r', 'defined') | list
[{'r': 'a'}, {'r': 'b'}] | rejectattr('r', 'eq', 'a') | list
[{'r': 'a'}] | selectattr('r', '==', 'a') | list | length
[{'r': 'a'}] | selectattr('r', '==', 'a') | first
[1, 2] | select('odd') | length
[1, 2] | map('string') is iterable
none | map('upper') | list
none | selectattr('a') | list
0 | select | list
5 | select | list
false | map(attribute='a') | list
[1, 2] | map('nothing') | list
[1, 2] | select('nothing') | list
{'a': 1} | items | list
undefined_name | items | list
5 | items | list
'x' | default('d')
'' | default('d')
'' | default('d', true)
none | default('d')
none | default('d', boolean=true)
none | d('e', true)
-5 | abs
-5.5 | abs
'a' | abs
'42' | int
'4.7' | int
'x' | int
'x' | int(-1)
'0x1f' | int(base=16)
' 12 ' | int
'1_000' | int
4.9 | int
-4.9 | int
none | int
true | int
'3.5' | float
'x' | float
'1e3' | float
'inf' | float
5 | float
'x' | float(2.5)
2.5 | round
3.5 | round
2.567 | round(2)
2.675 | round(2)
1234 | round(-2)
2.1 | round(method='ceil')
2.9 | round(0, 'floor')
2.123 | round(1, 'ceil')
5 | round
'a\nb\n\nc' | indent
'a\nb' | indent(2)
5 | indent
none | indent
'a\nb' | indent(2, true)
'a\n\nb' | indent(2, blank=true)
'a\nb' | indent('> ')
'a\nb\n' | indent(2, first=true)
'ab' | center(6) ~ '|'
'a <b> & "c"' | escape
'a <b>' | e
'a <b>' | safe
'a b, c-d' | wordcount
'%s is %d' | format('x', 5)
'%(a)s' | format(a=1)
'x' | attr('upper') is callable
{'a': 1} | attr('a')
'x' | nothing
{'a': 1, 'b': [1, 2.0, none, true, 'x']} | tojson
{'a': 1, 'b': [1, 2]} | tojson(indent=2)
{'a': {}, 'b': [], 'c': {'d': [{}]}} | tojson(indent=4)
[1, 2] | tojson(indent=0)
{'a': 1} | tojson(indent='\t')
{'b': 1, 'a': 2} | tojson(sort_keys=true)
{'b': 1, 'a': [1, 2]} | tojson(separators=(',', ':'))
{'b': 1, 'a': [1, 2]} | tojson(separators=(',', ':'), indent=1)
'é中🙂<&>\'' | tojson
'é中🙂' | tojson(ensure_ascii=true)
'a"b\\c\n\r\t\x08\x0c\x01\x7f/' | tojson
'\x7f' | tojson(ensure_ascii=true)
{1: 'a', none: 'b', true: 'c', 1.5: 'd'} | tojson
(1, 2) | tojson
1e22 | tojson
'inf' | float | tojson
range(2) | tojson
{'a': 1}.items() | tojson
'a' | upper | lower | title
'a' | tojson | length
5 is odd
4 is even
5.0 is odd
5 is divisibleby 5
5 is divisibleby(2)
'a' is string
5 is string
none is string
5 is number
5.0 is number
true is number
'5' is number
5 is integer
true is integer
5.0 is float
true is boolean
1 is boolean
true is true
1 is true
false is false
none is none
0 is none
undefined_name is none
undefined_name is defined
undefined_name is undefined
undefined_name is not defined
none is defined
{} is mapping
[] is mapping
[] is sequence
{} is sequence
'a' is sequence
5 is sequence
range(2) is sequence
{}.items() is sequence
undefined_name is sequence
[] is iterable
'a' is iterable
5 is iterable
none is iterable
undefined_name is iterable
range is callable
'a' is callable
'abc' is lower
'Abc' is upper
'ABC' is upper
1 is eq 1
1 is equalto(1)
1 is ne 2
1 is lt 2
1 is ge 1
1 is gt 2
1 is le 0
'a' is in 'abc'
'a' is in ['b']
'a' is not in ['b']
none is sameas none
1 is sameas true
1 is nothing
not 1 is odd
1 + 2 is odd
'a' is string and 'b' is string
'a' is string if true else 'c'
1 is odd is even
5 is not none
'a' is defined and 'a'
-1 | abs
1.5 | string | length
'a'.upper().lower()
'a' | upper()
('a' | upper).lower()
[1, [2, [3]]][1][1][0]
{'a': [{'b': 'c'}]}.a[0].b
'a' if 'x' in 'xyz' and 1 < 2 else 'b'
1 +
(1
[1, 2
{'a': 1
'abc
1 2
a b
)
1 ? 2
foo(
x.
x[
x[]
1 | 
1 is
'a' if
{'a'}
5()
'a'()
9223372036854775807
9007199254740993
strftime_now('%d %b %Y')
strftime_now('%Y-%m-%d %H:%M:%S')
strftime_now('%A, %B %-d, %Y at %I:%M %p; day %j')
strftime_now('')
strftime_now('%y %e %%')
raise_exception('no')
joiner()() ~ 'x'
loop
[true, false, none, 1.0, 'a', (1,), {}]
{'k': (1, 2)}
1e100
123456789012345680.0
0.00001234
1/3
100 * 1.1
'a' 'b'.upper()
'x'.join(['a', 'b', 'c'][1:])
(none, 1)[0] is none
[1, 2, 3] | first + 1
'abc' | upper ~ 'd' | upper
{'a': 1}.a + {'b': 2}['b']
[] or 'empty'
'a' * 2 ~ 'b'
'caf\u00e9' | upper
'\u01c6' | title
'ΑΒΓ' | lower
"""


CONTEXT = {"user": {"name": "Ann", "tags": ["x", "y"]}, "numbers": [1, 2, 3, 4], "text": "a\nb"}

STATEMENTS = [
    # Plain text and line ends.
    "",
    "plain",
    "plain\n",
    "plain\n\n",
    "a\r\nb\rc\r\n",
    "{ a } % #}",
    "{{ 'x' }}\n",
    "{{ 'x' }}\ny\n",
    "  {{ 'x' }}  \n  y",
    # Comments.
    "a{# comment #}b",
    "a\n  {# comment #}\nb",
    "a  {#- comment -#}  b",
    "a {#+ comment +#}\n b",
    "{# one {{ two }} #}",
    "{# open",
    "{#-#}x",
    # White space around blocks.
    "a\n  {% if true %}\n  b\n  {% endif %}\nc",
    "a\n  {%- if true -%}\n  b\n  {%- endif -%}\nc",
    "a\n  {%+ if true +%}\n  b\n  {%+ endif +%}\nc",
    "a {% if true %} b {% endif %} c",
    "{% if true %}\n\nb{% endif %}",
    "\t{% set x = 1 %}\t\n{{ x }}",
    "{{ 'a' -}}   \n  {{- 'b' }}",
    "a\n   {{- 'b' -}}   \nc",
    "{%- set x = 5 -%}\n\n  {{ x }}",
    "a {%- if true %} b{% endif %}",
    "x{{- -5 -}}y",
    "x{{-5}}y",
    "{% set x = 1 %} {% set y = 2 %}\nz",
    "{% set x = 1 %}   \n{{ x }}",
    "  {% set x = 1 -%}\n  {{ x }}\n  {% set x = 2 %}\n{{ x }}",
    "a\u00a0{%- set x = 1 -%}\u00a0b",
    "{{ 'a' }}\n  {% if true %}b{% endif %}",
    "{{ {'a': {'b': 1}}}}",
    "{{ '}}' }}{{ '%}' }}",
    "{% set x = '%}' %}{{ x }}",
    # Raw.
    "{% raw %}{{ x }} {% if %}{% endraw %}",
    "{% raw %}\na\n{% endraw %}\nb",
    "{%- raw -%}  a  {%- endraw -%}  b",
    "  {% raw %} a\n  {% endraw %} b",
    "{% raw %}open",
    "{% raw %}{% endraw x %}{% endraw %}",
    # If.
    "{% if numbers %}a{% else %}b{% endif %}",
    "{% if none %}a{% elif 0 %}b{% elif 'x' %}c{% else %}d{% endif %}",
    "{% if none %}a{% endif %}",
    "{% if true %}a",
    "{% if %}a{% endif %}",
    "{% endif %}",
    "{% else %}",
    "{% if true %}{% set x = 5 %}{% endif %}{{ x }}",
    "{% if missing is defined and missing %}a{% else %}b{% endif %}",
    "{% if not loop %}a{% endif %}",
    # For.
    "{% for n in numbers %}{{ n }},{% endfor %}",
    "{% for n in numbers %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}"
    "{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
    "{% for n in numbers %}{{ loop.previtem }}<{{ n }}>{{ loop.nextitem }} {% endfor %}",
    "{% for n in numbers %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for n in numbers %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}",
    "{% for n in numbers %}{{ loop.nothing }}{% endfor %}",
    "{% for n in [] %}a{% else %}none{% endfor %}",
    "{% for n in numbers if n is even %}{{ loop.index }}/{{ loop.length }}:{{ n }} {% endfor %}",
    "{% for n in numbers if n > 9 %}a{% else %}none{% endfor %}",
    "{% for n in numbers if n > 1 %}{{ n }}{{ '' if loop.last else ',' }}{% endfor %}",
    "{% for k, v in user.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in user %}{{ k }};{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}",
    "{% for a, b in [1] %}{{ a }}{% endfor %}",
    "{% for c in 'a\u00e9\U0001F642' %}[{{ c }}]{% endfor %}",
    "{% for x in missing %}a{% else %}b{% endfor %}",
    "{% for x in none %}a{% endfor %}",
    "{% for x in 5 %}a{% endfor %}",
    "{% for x in missing.more %}a{% endfor %}",
    "{% for n in numbers %}{% if n == 3 %}{% break %}{% endif %}{{ n }}{% endfor %}",
    "{% for n in numbers %}{% if n == 2 %}{% continue %}{% endif %}{{ n }}{% endfor %}",
    "{% for n in numbers %}{% for m in numbers %}{% if m > n %}{% break %}{% endif %}{{ m }}"
    "{% endfor %};{% endfor %}",
    "{% break %}",
    "{% for n in numbers %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% set x = 0 %}{% for n in numbers %}{% set x = n %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 0 %}{% for n in numbers %}{{ x }}{% set x = n %}{% endfor %}",
    "{% for n in numbers %}{% endfor %}{{ n }}",
    "{% for n in numbers %}{% for m in [7] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for n in numbers | reverse %}{{ n }}{{ loop.last }}{% endfor %}",
    "{% for n in numbers[::-1] %}{{ n }}{% endfor %}",
    "{% for n in range(3) %}{{ n }}{% endfor %}",
    "{% for n in numbers %}{% if loop.index0 != 0 %}, {% endif %}{{ n }}{% endfor %}",
    "{% for a in [1, 2], [3, 4] %}{{ a }}{% endfor %}",
    "{% for n in numbers",
    "{% for n in numbers %}a",
    "{% for in numbers %}{% endfor %}",
    "{% for n numbers %}{% endfor %}",
    "{% set ns = namespace(on=true) %}{% for n in numbers if ns.on %}{{ n }}"
    "{% if n == 2 %}{% set ns.on = false %}{% endif %}{% endfor %}",
    "{% set ns = namespace(on=true) %}{% for n in numbers if ns.on %}{{ n }}{{ loop.last }}"
    "{% if n == 2 %}{% set ns.on = false %}{% endif %}{% endfor %}",
    # Iterators are spent once.
    "{% set it = numbers | map('string') %}{{ it | join }}{{ it | join }}|",
    "{% set it = numbers | select('odd') %}{{ it | first }}{{ it | list }}",
    "{% set it = numbers | reverse %}{{ 3 in it }}{{ it | list }}",
    # Set.
    "{% set x = 5 %}{{ x }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1, 2] %}{{ a }}{{ b }}",
    "{% set a, b = 1 %}",
    "{% set x = 1, 2 %}{{ x }}",
    "{% set x %}a{{ 1 }}b{% endset %}[{{ x }}]",
    "{% set x | upper %}a{{ 1 }}b{% endset %}[{{ x }}]",
    "{% set x | trim | replace('a', 'z') %} a {% endset %}[{{ x }}]",
    "{% set x %}{% set y = 1 %}{% endset %}{{ y is defined }}",
    "{% set ns = namespace(a=1) %}{% set ns.a = ns.a + 1 %}{% set ns.b = 'x' %}{{ ns.a }}{{ ns.b }}",
    "{% set ns = namespace() %}{% for n in numbers %}{% set ns.last = n %}{% endfor %}{{ ns.last }}",
    "{% set ns = namespace(n=0) %}{% for n in numbers %}{% set ns.n = ns.n + n %}{% endfor %}{{ ns.n }}",
    "{% set user.name = 'x' %}",
    "{% set missing.a = 1 %}",
    "{% set none = 1 %}",
    "{% set 5 = 1 %}",
    "{% set x = %}",
    "{% set x 5 %}",
    "{% set ns = namespace(list=[]) %}{% for n in numbers %}{% set ns.list = ns.list + [n * 2] %}"
    "{% endfor %}{{ ns.list }}",
    # Macros.
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=5, a=4) }}",
    "{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m() }}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(3) }}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m(n) %}{{ n }}{% if n > 0 %},{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}",
    "{% macro m() %}{% set x = 3 %}{% endmacro %}{{ m() }}{{ x is defined }}",
    "{% macro m() %}  a  {% endmacro %}[{{ m() | trim }}]",
    "{% macro m() %}a{% endmacro %}{{ m() ~ m() }}{{ m() | length }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}x{% endmacro %}{{ a() }}",
    "{% macro m() %}{% endmacro %}{{ m.name }}",
    "{% for n in numbers %}{% macro m() %}{{ n }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %}",
    "{% macro m %}{% endmacro %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    # Call and filter blocks.
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}x{{ 1 }}{% endcall %}",
    "{% macro m() %}<{{ caller(1, 2) }}>{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m(t) %}{{ t }}<{{ caller() }}>{% endmacro %}{% call m('q') %}x{% endcall %}",
    "{% filter upper %}a{{ 'b' }}{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}a c{% endfilter %}",
    "{% filter trim %} {% set x = 1 %}y {% endfilter %}{{ x is defined }}",
    "{% filter upper %}a",
    # With and generation.
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
    "a{% generation %}b{{ 1 }}{% endgeneration %}c",
    "a\n  {% generation %}\n  b\n  {% endgeneration %}\nc",
    # What is refused.
    "{% nothing %}",
    "{% include 'x' %}",
    "{{ 'x' ",
    "{{ }}",
    "{% %}",
    "{% if true %}{% endfor %}",
    "{{ x }",
    "{{ ( }}",
    "{{ raise_exception('Roles must alternate') }}",
    "{% if numbers | length > 3 %}{{ raise_exception('too many: ' ~ numbers | length) }}{% endif %}",
    "{% set j = joiner('; ') %}{% for n in numbers %}{{ j() }}{{ n }}{% endfor %}",
    # Context.
    "{{ user.name }} {{ user['tags'][1] }} {{ user }} {{ numbers }} {{ text }}",
    "{{ user | tojson }} {{ user.tags | tojson(indent=2) }}",
    "{{ user.name.upper() ~ user.tags | join('+') }}",
    "{{ text.split('\n') }}{{ text | length }}",
    "{{ '\n' in text }}{{ text.splitlines() | length }}",
]
