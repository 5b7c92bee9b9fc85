"""The one style sheet. Every rule stands below `.kv`, so that a notebook around it keeps its own looks."""

CSS = """
.kv{--back:#fff;--card:#f6f7f9;--text:#1a1f26;--soft:#5a6572;--line:#d8dde3;--accent:#1f5fd0;
  --accent-rgb:31 95 208;--second:#c2610c;--third:#0f7b6c;--good:#12733a;--good-back:#e7f5ec;--bad:#b3211d;
  --bad-rgb:179 33 29;--bad-back:#fdecea;--warn:#8f5200;--warn-back:#fff4dd;--on-accent:#fff;
  color:var(--text);background:var(--back);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
  "Helvetica Neue",Arial,"Noto Sans",sans-serif;-webkit-text-size-adjust:100%}
@media screen and (prefers-color-scheme:dark){.kv{--back:#14171c;--card:#1c2027;--text:#e7eaee;
  --soft:#a0abb8;--line:#363d47;--accent:#74a9ff;--accent-rgb:86 143 240;--second:#f2a45c;--third:#4fd1bd;
  --good:#5fd68b;--good-back:#15301f;--bad:#ff8c85;--bad-rgb:226 92 84;--bad-back:#3a1c1b;--warn:#f4bf56;
  --warn-back:#35290f;--on-accent:#fff;color-scheme:dark}}
.kv *{box-sizing:border-box}
.kv-page{margin:0}
.kv-page main{max-width:76rem;margin:0 auto;padding:2.5rem clamp(1rem,4vw,3rem) 4rem}
.kv-notebook{padding:1rem 1.25rem;border:1px solid var(--line);border-radius:10px;font-size:14px;
  max-width:76rem;
  margin:.3rem 0}
.kv h1{font-size:1.55em;line-height:1.25;margin:0 0 .3em;font-weight:650;overflow-wrap:anywhere;
  color:inherit}
.kv h2{font-size:1.2em;line-height:1.3;margin:0 0 .4em;font-weight:650;color:inherit}
.kv h3{font-size:1em;margin:0 0 .4em;font-weight:600;color:inherit}
.kv p{margin:.4em 0;max-width:68ch}
.kv .lead,.kv .soft{color:var(--soft)}
.kv section{margin-top:2.6rem;padding-top:1.4rem;border-top:1px solid var(--line)}
.kv nav{margin-bottom:1.2rem;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin-top:1.2rem;font-size:.9em}
.kv a{color:var(--accent);text-underline-offset:.2em}
.kv .lead{margin-bottom:1rem}
.kv .hero{display:flex;flex-wrap:wrap;align-items:center;gap:1rem 2.2rem;margin:1.4rem 0 1rem}
.kv .hero .big{font-size:clamp(2.8rem,9vw,4.4rem);line-height:1;font-weight:700;letter-spacing:-.03em;
  font-variant-numeric:tabular-nums;white-space:nowrap}
.kv .hero .words{flex:1 1 20rem}
.kv .hero .words p:first-child{font-size:1.1em;margin-top:0}
.kv .range{position:relative;height:.8rem;border-radius:.4rem;background:var(--card);
  border:1px solid var(--line);max-width:34rem;margin:.6rem 0 .2rem}
.kv .range i{position:absolute;top:0;bottom:0;background:rgb(var(--accent-rgb) / .35);border-radius:.4rem}
.kv .range b{position:absolute;top:-.25rem;bottom:-.25rem;width:3px;margin-left:-1px;
  background:var(--accent);border-radius:2px}
.kv .ends{display:flex;justify-content:space-between;max-width:34rem;font-size:.78em;color:var(--soft)}
.kv .facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:0 2rem;margin:0}
.kv .facts div{padding:.55rem 0;border-bottom:1px solid var(--line)}
.kv .facts dt{font-size:.8em;color:var(--soft)}
.kv .facts dd{margin:0;overflow-wrap:anywhere}
.kv .grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));
  gap:1.6rem 2.5rem;align-items:start}
.kv .stacked{display:grid;grid-template-columns:minmax(0,1fr);gap:1.6rem}
.kv .notice{border-left:4px solid var(--accent);background:var(--card);border-radius:0 8px 8px 0;
  padding:.7rem 1rem;margin:.7rem 0;overflow-wrap:anywhere}
.kv .notice.good{border-color:var(--good);background:var(--good-back)}
.kv .notice.warning{border-color:var(--warn);background:var(--warn-back)}
.kv .notice.error{border-color:var(--bad);background:var(--bad-back)}
.kv .notice>:first-child{margin-top:0}
.kv .notice>:last-child{margin-bottom:0}
.kv ul.advice{margin:.4em 0;padding-left:1.2em}
.kv ul.advice li{margin:.3em 0;max-width:72ch}
.kv .badge{display:inline-block;padding:.05em .55em;border-radius:1em;font-size:.82em;font-weight:600;
  white-space:nowrap;background:var(--card);border:1px solid var(--line)}
.kv .badge.good{color:var(--good);background:var(--good-back);border-color:transparent}
.kv .badge.error{color:var(--bad);background:var(--bad-back);border-color:transparent}
.kv .badge.warning{color:var(--warn);background:var(--warn-back);border-color:transparent}
.kv .box{overflow:auto;max-width:100%}
.kv .box.scroll{max-height:34rem;border:1px solid var(--line);border-radius:8px}
.kv .box:focus-visible,.kv summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.kv table{border-collapse:collapse;font-size:.92em;font-variant-numeric:tabular-nums;background:none;
  color:inherit;border:0}
.kv table:not(.confusion){min-width:100%}
.kv caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.kv th,.kv td{padding:.42rem .7rem;text-align:left;vertical-align:middle;border:0;
  border-bottom:1px solid var(--line);max-width:24rem;overflow-wrap:break-word;white-space:normal}
.kv tbody th{font-weight:500;min-width:7rem}
.kv thead th{font-size:.88em;color:var(--soft);font-weight:600;position:sticky;top:0;
  background:var(--back);z-index:1}
.kv tbody tr,.kv tbody tr:nth-child(odd),.kv tbody tr:hover{background:none}
.kv tbody tr:last-child>*{border-bottom:0}
.kv .number{text-align:right;white-space:nowrap}
.kv .meter{position:relative;display:inline-flex;align-items:center;width:7.5rem;height:1.45em;
  border-radius:4px;background:var(--card);overflow:hidden}
.kv .meter i{position:absolute;inset:0 auto 0 0;background:rgb(var(--accent-rgb) / .38)}
.kv .meter i.bad{background:rgb(var(--bad-rgb) / .42)}
.kv .meter b{position:relative;font-weight:500;padding-left:.5em}
.kv .stack{display:flex;height:.95em;min-width:9rem;border-radius:3px;overflow:hidden;gap:1px}
.kv .stack i{background:var(--accent)}
.kv .stack i.s1{background:var(--second)}
.kv .stack i.s2{background:var(--third)}
.kv .legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:.86em;color:var(--soft);
  margin:.2rem 0 .5rem}
.kv .legend span{display:inline-flex;align-items:center;gap:.45em}
.kv .legend i{width:1.5em;height:0;border-top:3px solid var(--accent)}
.kv .legend i.s1{border-color:var(--second);border-top-style:dashed}
.kv .legend i.s2{border-color:var(--third)}
.kv .legend.solid i{height:.8em;width:.8em;border:0;border-radius:2px;background:var(--accent)}
.kv .legend.solid i.s1{background:var(--second)}
.kv .legend.solid i.s2{background:var(--third)}
.kv svg{display:block;width:100%;height:auto;font:11px system-ui,-apple-system,"Segoe UI",Roboto,Arial,
  sans-serif}
.kv svg text{fill:var(--soft)}
.kv svg .axis{stroke:var(--soft);stroke-width:1;fill:none}
.kv svg .grid-line{stroke:var(--line);stroke-width:1;fill:none}
.kv svg .mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3;fill:none}
.kv svg .line{fill:none;stroke:var(--accent);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.kv svg .line.s1{stroke:var(--second);stroke-dasharray:6 3}
.kv svg .line.s2{stroke:var(--third);stroke-dasharray:2 4}
.kv svg .dot{fill:var(--accent)}
.kv svg .dot.s1{fill:var(--second)}
.kv svg .dot.s2{fill:var(--third)}
.kv svg .dot.faint{opacity:.35}
.kv svg .band{fill:rgb(var(--accent-rgb) / .18)}
.kv svg .bar{fill:rgb(var(--accent-rgb) / .55)}
.kv svg .bar.gap{fill:rgb(var(--bad-rgb) / .38)}
.kv svg .bar.quiet{fill:var(--line)}
.kv svg image{image-rendering:pixelated}
.kv svg.boxed{border-radius:6px;background:var(--card)}
.kv svg.boxed image{image-rendering:auto}
.kv .scenes{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,32rem),1fr));
  gap:1.8rem 1.4rem}
.kv .scenes .side{font-size:.82em;color:var(--soft)}
.kv .four{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:4px;margin-top:1.6rem}
.kv .four .side{font-size:.82em;color:var(--soft)}
.kv .swatch{display:inline-flex;align-items:center;gap:.5em}
.kv .swatch i{height:.85em;width:.85em;border-radius:2px;flex:none;border:1px solid var(--line)}
.kv .small-charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));
  gap:1.4rem 1.6rem}
.kv table.confusion{border-collapse:separate;border-spacing:2px;font-size:.88em}
.kv .confusion th,.kv .confusion td{border:0;padding:.3rem .45rem}
.kv .confusion td{min-width:2.4rem;height:2.3rem;text-align:center;border-radius:4px;white-space:nowrap;
  background:rgb(var(--bad-rgb) / calc(var(--v)*.9))}
.kv .confusion td.hit{background:rgb(var(--accent-rgb) / calc(.12 + var(--v)*.88))}
.kv .confusion td.none{background:var(--card);color:var(--soft)}
.kv .confusion td.strong{color:var(--on-accent)}
.kv .confusion tbody th{position:sticky;left:0;background:var(--back);text-align:right;font-weight:500;
  max-width:10rem;min-width:3.5rem;z-index:1}
.kv .confusion thead th{position:static;color:var(--text);font-weight:500;vertical-align:bottom;
  text-align:left}
.kv .confusion thead th>span{display:inline-block;writing-mode:vertical-rl;transform:rotate(180deg);
  max-height:10rem;overflow-wrap:anywhere}
.kv .confusion .axis-name{color:var(--soft);font-size:.88em;font-weight:400;text-align:left;
  vertical-align:bottom}
.kv .pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:1.2rem}
.kv figure{margin:0;min-width:0}
.kv .pair{display:grid;grid-template-columns:1fr 1fr;gap:3px}
.kv img{display:block;width:100%;height:auto;max-width:100%;margin:0;border-radius:6px;
  background:var(--card)}
.kv img.small{image-rendering:pixelated}
.kv figcaption{font-size:.88em;margin-top:.4rem;overflow-wrap:anywhere;line-height:1.4}
.kv .file{color:var(--soft);font-size:.92em;unicode-bidi:isolate}
.kv code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:none;color:inherit;
  overflow-wrap:anywhere}
.kv details{border-top:1px solid var(--line);padding:.55rem 0}
.kv details[open]{padding-bottom:1.2rem}
.kv summary{cursor:pointer;font-weight:600;padding:.1rem 0}
.kv details>:nth-child(2){margin-top:.6rem}
.kv footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);
  font-size:.86em}
@media (max-width:44rem){.kv .four{grid-template-columns:repeat(2,minmax(0,1fr))}}
@media (max-width:36rem){.kv .meter{width:5.5rem}.kv tbody th{min-width:5rem}
.kv .confusion td{min-width:2.1rem}.kv td:last-child:not(.number){min-width:8rem}
.kv .confusion td:last-child{min-width:2.1rem}
.kv th,.kv td{padding:.4rem .5rem}
.kv-page main{padding-top:1.4rem}
.kv section{margin-top:2rem}
.kv .pictures{grid-template-columns:repeat(auto-fill,minmax(min(100%,13rem),1fr))}}
@media print{.kv{--back:#fff;--card:#f3f4f6;--text:#000;--soft:#444;--line:#ccc;font-size:11pt;
  print-color-adjust:exact;-webkit-print-color-adjust:exact;color-scheme:light}
.kv-page main{max-width:none;padding:0}
.kv nav{display:none}
.kv .box,.kv .box.scroll{overflow:visible;max-height:none}
.kv figure,.kv tr,.kv .notice{break-inside:avoid}
.kv h2{break-after:avoid}
.kv thead th{position:static}}
""".strip()
