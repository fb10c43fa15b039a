"""The page of `monitord web`: what the command line shows, in a browser, from the same `actions`.

`guard` lets in who may ask; `application` serves files from memory and answers as JSON; `routes` has the two
tables, PAGES and API; `answers/` has a function of a `Question` for each line of API, one file a page.
`static/` is the browser's side, ES modules without a build: `app.js` (session, router, keys, what a page may
use), `dom.js` (elements, whose texts are only ever text; tables, states, words for values), `monitord.css`
(light and dark), `pages/NAME.js` with `title` and `async render(root, params, api)`, which may return what
tidies up when the page is left. Nothing is written as markup, no style stands in an attribute, and the policy
(`default-src 'none'`, trusted types) would stop what tried. `assets/` is other makers' (`make assets`).
"""
