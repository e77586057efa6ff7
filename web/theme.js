// Before the page is drawn, so that it does not flash: the colours that the person chose, if any.
(() => {
  const theme = localStorage.getItem("vivant.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
