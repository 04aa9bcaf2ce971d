// Texts on the page whose contrast to what lies behind them is under 4.5:1 (3:1 from 24 px or bold 19 px).
(() => {
  const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const over = (front, back) => {
    const alpha = front[3] ?? 1;
    return [0, 1, 2].map((n) => front[n] * alpha + back[n] * (1 - alpha));
  };
  const behind = (element) => {
    if (!element) return parse(getComputedStyle(document.documentElement).backgroundColor).slice(0, 3);
    const color = parse(getComputedStyle(element).backgroundColor);
    return (color[3] ?? 1) === 1 ? color.slice(0, 3) : over(color, behind(element.parentElement));
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || !element.offsetParent || element.disabled) continue;
    const style = getComputedStyle(element);
    const back = behind(element);
    const front = over(parse(style.color), back);
    const [low, high] = [light(front), light(back)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 19 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const found = (high + 0.05) / (low + 0.05);
    if (found < needed) poor.push(`${element.id || element.className || element.tagName}: ${found.toFixed(2)}`);
  }
  return poor;
})()
