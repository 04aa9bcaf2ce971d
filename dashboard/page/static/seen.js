// What has loaded and been in view: before that nothing is confirmed.

const LOOK_MS = 300;
const SHARE = 0.6;

export class Seen {
  /** `needed` names, all of which must be seen; or any one of `enough`. */
  constructor(onChange) {
    this.onChange = onChange;
    this.needed = new Set();
    this.seen = new Set();
    this.isEnough = false;
    this.names = new Map();
    this.timers = new Map();
    this.observer = new IntersectionObserver((entries) => entries.forEach((entry) => this.#look(entry)), { threshold: [0, SHARE] });
  }

  /** Watches an image; `isEnough`: seeing this one suffices. */
  watch(image, name, { isNeeded = false, isEnough = false } = {}) {
    if (isNeeded) this.needed.add(name);
    this.names.set(image, { name, isEnough });
    this.observer.observe(image);
  }

  get isDone() {
    return this.isEnough || (this.needed.size > 0 && [...this.needed].every((name) => this.seen.has(name)));
  }

  stop() {
    this.observer.disconnect();
    for (const timer of this.timers.values()) clearTimeout(timer);
  }

  #look({ target, isIntersecting, intersectionRatio }) {
    clearTimeout(this.timers.get(target));
    if (!isIntersecting || intersectionRatio < SHARE) return;
    const ripe = () => {
      if (!target.isConnected) return;
      if (document.hidden || !target.complete || !target.naturalWidth) {
        this.timers.set(target, setTimeout(ripe, LOOK_MS));
        return;
      }
      const { name, isEnough } = this.names.get(target);
      const before = this.isDone;
      this.seen.add(name);
      this.isEnough ||= isEnough;
      target.dataset.seen = "yes";
      if (this.isDone !== before) this.onChange();
    };
    this.timers.set(target, setTimeout(ripe, LOOK_MS));
  }
}
