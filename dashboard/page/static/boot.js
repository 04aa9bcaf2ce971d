// Begins again where a part of the page could not be loaded: a phone that changes its network meanwhile would be left
// with a page that does nothing. (A classic script: it runs before all modules, and needs none.)
(() => {
  const AGAIN_MS = 3000;
  let isPlanned = false;
  addEventListener("error", ({ target }) => {
    const isPart = target?.tagName === "SCRIPT" || (target?.tagName === "LINK" && target.rel === "stylesheet");
    if (isPlanned || !isPart) return;
    isPlanned = true;
    setTimeout(() => location.reload(), AGAIN_MS);
  }, true);
})();
