document.title = document.title.toUpperCase();
