/** The API key: asked for when the service wants one, kept for this tab only. */

import { find } from "../dom.js";

const NAME = "corpusmill.key";
let asking = null;

export const currentKey = () => sessionStorage.getItem(NAME);

/** Ask for a key; all requests that wait share one question. Whether one was given. */
export function askForKey() {
  asking ??= question().finally(() => {
    asking = null;
  });
  return asking;
}

function question() {
  const dialog = find("key");
  const value = find("key-value");
  find("key-reason").textContent = currentKey()
    ? "The service did not accept that key."
    : "This service answers only with a key.";
  value.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  value.focus();
  return new Promise((resolve) => {
    const submitted = (event) => {
      event.preventDefault();
      sessionStorage.setItem(NAME, value.value);
      dialog.close("given");
    };
    find("key-form").addEventListener("submit", submitted);
    dialog.addEventListener(
      "close",
      () => {
        find("key-form").removeEventListener("submit", submitted);
        value.value = "";
        resolve(dialog.returnValue === "given");
      },
      { once: true },
    );
  });
}
