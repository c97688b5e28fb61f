/* Gives the theme's scrolling navigation a name of its own, so that screen readers can tell it from other regions. */
window.addEventListener("load", () => {
  document.querySelector("#nav-sidebar-apps .simplebar-content-wrapper")?.setAttribute("aria-label", "Navigation");
});
