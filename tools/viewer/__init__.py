"""The visualizer: graphs in the browser (Model Explorer), and reports as one HTML file."""
