"""Texts as people give them."""

from __future__ import annotations

ANSWER = """\
## How to make **tea**

Making tea is *easy*! Here's what you'll need:

- **Water** – about 250 ml
- A tea bag (or `loose_leaf`)
- Milk, *optional*

1. Boil the water.
2. Pour it over the tea
   and wait for 3–5 minutes.
3. Remove the bag -- gently.

| Tea   | Minutes |
|-------|--------:|
| Green | 2       |
| Black | 4       |

```python
print("this. Is never spoken")
```

> A cup of tea makes everything better.

See [the guide](https://www.example.com/tea/guide.html?x=1) or write to tea@example.com. Enjoy! ☕😀
"""

README = """\
# widget-kit

[![Build](https://ci.example.com/b.svg)](https://ci.example.com) ![logo](logo.png)

<p align="center">A small kit for widgets.</p>
<!-- do not
speak this. Ever. -->

Setext heading
==============

Install with `pip install widget-kit`. Set `MAX_SIZE` to 3*4 &amp; run it[^1]. See [docs][d].

[d]: https://docs.example.com
[^1]: Needs Python.
"""

WRAPPED = """\
It was a bright cold day in the harbour, and the clocks of the old
town were striking, one after the other, as if none of them trusted
its neighbour. Mr. Harrow, his chin nuzzled into his collar, slipped
quickly through the doors of the customs house, though not quickly
enough to keep a swirl of dust from coming in along with him.

The hallway smelt of boiled cabbage and of rope. At one end of it a
coloured poster, too large for indoor display, had been tacked to the
wall.
"""

POEM = """\
The tide went out at seven,
The moon came up at nine,
And all the boats of heaven
Lay down along the line.

nobody saw them leaving
nobody heard them go
"""

PLAY = """\
THE LIGHTHOUSE

(A kitchen. Night.)

MARTHA: Is that you, Tom?

TOM (shaking off the rain): Who else would it be?
It's only weather.

MARTHA: The lamp went out at ten. I counted.

TOM: Then somebody lit it again.
"""

CHAT = """\
Anna: hey 👋 are you coming tonight???
Ben: sure!!! 🎉🎉
Anna: great 😀 bring snacks plz
Ben: ok... which ones?
Anna: chips & dip 👍🏽
"""

CHINESE = "我们今天去了公园。看见了很多花，还有很多人在那里唱歌！他说：“真好看？”大家都很高兴。"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたか、頓と見当がつかぬ。「そうか」と彼は言った。"

ALL = (ANSWER, README, WRAPPED, POEM, PLAY, CHAT, CHINESE, JAPANESE)
