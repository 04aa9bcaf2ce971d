// The service worker: keeps what was loaded for a time without a network; where there is no HTTPS there is none.

let prompt = null;
addEventListener("beforeinstallprompt", (event) => {
  event.preventDefault();
  prompt = event;
});

export const canInstall = () => prompt !== null;

export async function installNow() {
  await prompt?.prompt();
  prompt = null;
}

/** Whether this browser keeps the page for a time without a network. */
export async function keepOffline() {
  if (!("serviceWorker" in navigator)) return false;
  const policy = globalThis.trustedTypes?.createPolicy("hemowire", { createScriptURL: () => "/sw.js" });
  try {
    await navigator.serviceWorker.register(policy ? policy.createScriptURL("") : "/sw.js");
    return true;
  } catch {
    return false; // the page works live
  }
}

/** Forgets every case that was kept on this device. */
export async function forgetKept() {
  if (!("caches" in globalThis)) return;
  for (const name of await caches.keys()) if (name.startsWith("kept")) await caches.delete(name);
}
