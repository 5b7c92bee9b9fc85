"""The doctor: what is wrong with a folder of photos. Its door is `kerasvision.data.check`.

`intake` lists what is to be checked, `exam` looks at each image once, `twins` finds equal and nearly equal
ones, `rules` and `twin_rules` turn what was seen into problems (`findings`), `checkup` puts all together;
`table`, `page` and `clean_list` show it.
"""
