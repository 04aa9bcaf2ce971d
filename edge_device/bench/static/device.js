// Talks to the device that served this page: its state as events, its actions, its live picture.

const SILENCE_MS = 12000; // the device speaks at least every 5 s
const LOST_MS = 2000;
const PREVIEW_MS = 200;

/** Asks for an action; always comes to {ok, result, error}. */
export async function act(name, args, operator) {
  try {
    const response = await fetch(`/actions/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ operator, arguments: args }),
    });
    if (response.status === 401) location.replace("/login");
    return await response.json();
  } catch {
    return { ok: false, result: {}, error: "The device does not answer: whether it was done is not known." };
  }
}

/** Calls `onState(state)` for each state and `onLife("alive" | "lost")`; rests while nobody looks. */
export function follow(onState, onLife) {
  let source = null;
  let heard = performance.now();
  let isBroken = false;

  const open = () => {
    source?.close();
    source = new EventSource("/events");
    source.onmessage = (event) => {
      heard = performance.now();
      isBroken = false;
      onLife("alive");
      onState(JSON.parse(event.data));
    };
    source.onerror = () => {
      if (!isBroken) heard = Math.min(heard, performance.now() - SILENCE_MS + LOST_MS);
      isBroken = true;
    };
  };

  const mayLogIn = async () => {
    try {
      if ((await fetch("/state")).status === 401) location.replace("/login");
    } catch {
      // it is away: the events try again
    }
  };

  setInterval(() => {
    if (document.hidden || performance.now() - heard <= SILENCE_MS) return;
    onLife("lost");
    if (source?.readyState === EventSource.CLOSED) {
      mayLogIn();
      open();
    }
  }, 1000);

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
    } else {
      heard = performance.now();
      open();
    }
  });
  open();
}

/** Shows the live picture about five times a second while `isWanted()` and somebody looks. */
export function showPreview(image, isWanted, onPicture) {
  let shown = "";
  const next = async () => {
    const began = performance.now();
    if (!document.hidden && isWanted()) {
      try {
        const response = await fetch("/preview.jpg");
        if (response.status === 200) {
          const url = URL.createObjectURL(await response.blob());
          image.src = url;
          await image.decode();
          URL.revokeObjectURL(shown);
          shown = url;
          onPicture(true);
        } else {
          onPicture(false);
        }
      } catch {
        onPicture(false);
      }
    }
    setTimeout(next, Math.max(20, PREVIEW_MS - (performance.now() - began)));
  };
  next();
}
